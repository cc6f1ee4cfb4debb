//! Starts a real S3 server (SeaweedFS) for a test, and stops it at the end.

use std::{
    net::TcpListener,
    process::{Child, Command, Stdio},
    time::Duration,
};

const KEY: &str = "AKfabric";
const SECRET: &str = "SKfabricsecret";

/// A running server.
pub struct Server {
    child: Child,
    port: u16,
    _dir: tempfile::TempDir,
}

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

fn free_ports<const N: usize>() -> [u16; N] {
    // All are held at the same time, so that they differ. Each server also uses the gRPC port 10,000 above.
    let held: Vec<_> = std::iter::repeat_with(|| TcpListener::bind("127.0.0.1:0").unwrap())
        .filter(|l| l.local_addr().unwrap().port() < 50_000)
        .take(N)
        .collect();
    std::array::from_fn(|i| held[i].local_addr().unwrap().port())
}

impl Server {
    /// Starts a server with the bucket `fabric`. Fails the test with instructions if there is no program.
    pub async fn start() -> Self {
        // Another process may take a port before the server uses it. The server then ends at once and is started again.
        for _ in 0..4 {
            let mut server = Self::launch();
            if server.make_bucket().await {
                return server;
            }
        }
        panic!("the S3 server ended each time it was started: see its log");
    }

    fn launch() -> Self {
        let _ = rustls::crypto::ring::default_provider().install_default();
        let weed = std::env::var_os("FABRIC_TEST_WEED").expect(
            "the S3 suite needs a real server: run `cargo xtask test`, or set FABRIC_TEST_WEED to SeaweedFS's `weed`",
        );
        let dir = tempfile::tempdir().unwrap();
        let config = dir.path().join("s3.json");
        let identity = format!(
            r#"{{"identities":[{{"name":"fabric","credentials":[{{"accessKey":"{KEY}","secretKey":"{SECRET}"}}],"actions":["Admin","Read","Write","List","Tagging"]}}]}}"#
        );
        std::fs::write(&config, identity).unwrap();
        let [master, volume, filer, port] = free_ports();
        let log = std::fs::File::create(dir.path().join("log")).unwrap();
        let child = Command::new(weed)
            .args(["-logtostderr=true", "server", "-ip=127.0.0.1", "-ip.bind=127.0.0.1", "-master.telemetry=false"])
            .args(["-filer", "-s3", "-s3.iam=false", "-master.volumeSizeLimitMB=1024", "-volume.max=8"])
            // Not needed, and on fixed ports, so that two servers could not run at once.
            .args(["-s3.port.iceberg=0", "-s3.port.lance=0"])
            .arg(format!("-dir={}", dir.path().display()))
            .arg(format!("-master.port={master}"))
            .arg(format!("-volume.port={volume}"))
            .arg(format!("-filer.port={filer}"))
            .arg(format!("-s3.port={port}"))
            .arg(format!("-s3.config={}", config.display()))
            .stdout(Stdio::null())
            .stderr(log)
            .spawn()
            .expect("FABRIC_TEST_WEED does not name a program that starts");
        Self { child, port, _dir: dir }
    }

    /// Waits until the server accepts a bucket. Returns `false` if the server has ended. Polls up to 240 times, 250 ms
    /// apart, so for about a minute. A foreign process can only be polled, and the test does not assert on the time.
    async fn make_bucket(&mut self) -> bool {
        use object_store::{ObjectStoreExt as _, aws::AmazonS3Builder};
        for _ in 0..240 {
            if self.child.try_wait().unwrap().is_some() {
                return false;
            }
            let store = AmazonS3Builder::new()
                .with_endpoint(format!("http://127.0.0.1:{}", self.port))
                .with_allow_http(true)
                .with_bucket_name("fabric")
                .with_access_key_id(KEY)
                .with_secret_access_key(SECRET)
                .with_retry(object_store::RetryConfig { max_retries: 0, ..Default::default() })
                .build()
                .unwrap();
            // The server creates a bucket when an administrator writes into it.
            if store.put(&"ready".into(), "x".into()).await.is_ok() {
                return true;
            }
            tokio::time::sleep(Duration::from_millis(250)).await;
        }
        panic!("the S3 server was not ready within a minute");
    }

    /// Returns the location of a store under `path`.
    pub fn url(&self, path: &str) -> String {
        format!(
            "s3://{path}?endpoint=http://127.0.0.1:{}&access_key_id={KEY}&secret_access_key={SECRET}&region=us-east-1",
            self.port
        )
    }
}
