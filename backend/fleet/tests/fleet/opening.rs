//! Opening a fleet: logins, TLS, and error messages.

use crate::{nats, over};
use async_trait::async_trait;
use fabric_fleet::{Error, Fleet, FleetOptions, Login, Tls};
use fabric_store::Store;
use fabric_types::Code;
use futures::stream::BoxStream;
use object_store::{
    CopyOptions, GetOptions, GetResult, ListResult, MultipartUpload, ObjectMeta, ObjectStore, PutMode,
    PutMultipartOptions, PutOptions, PutPayload, PutResult, Result, memory::InMemory, path::Path,
};
use std::sync::Arc;

/// A store that accepts every write and ignores conditions, as some servers do.
#[derive(Debug)]
struct Forgetful(InMemory);

impl std::fmt::Display for Forgetful {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Forgetful")
    }
}

#[async_trait]
impl ObjectStore for Forgetful {
    async fn put_opts(&self, path: &Path, payload: PutPayload, mut options: PutOptions) -> Result<PutResult> {
        options.mode = PutMode::Overwrite;
        self.0.put_opts(path, payload, options).await
    }
    async fn put_multipart_opts(&self, path: &Path, options: PutMultipartOptions) -> Result<Box<dyn MultipartUpload>> {
        self.0.put_multipart_opts(path, options).await
    }
    async fn get_opts(&self, path: &Path, options: GetOptions) -> Result<GetResult> {
        self.0.get_opts(path, options).await
    }
    fn delete_stream(&self, paths: BoxStream<'static, Result<Path>>) -> BoxStream<'static, Result<Path>> {
        self.0.delete_stream(paths)
    }
    fn list(&self, prefix: Option<&Path>) -> BoxStream<'static, Result<ObjectMeta>> {
        self.0.list(prefix)
    }
    async fn list_with_delimiter(&self, prefix: Option<&Path>) -> Result<ListResult> {
        self.0.list_with_delimiter(prefix).await
    }
    async fn copy_opts(&self, from: &Path, to: &Path, options: CopyOptions) -> Result<()> {
        self.0.copy_opts(from, to, options).await
    }
}

async fn refused(options: FleetOptions) -> Error {
    match Fleet::open(options).await {
        Ok(_) => panic!("opened"),
        Err(error) => error,
    }
}

fn with_login(server: &nats::Server, login: Login) -> FleetOptions {
    FleetOptions { login, ..over::options(&Store::memory(), &[server], "f") }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_wrong_is_said_with_a_hint() {
    let (store, root) = Store::memory().object_store();
    let at = |urls: &[&str]| {
        FleetOptions::new(store.clone(), root.clone(), urls.iter().map(|url| (*url).to_owned()).collect())
    };
    let _ = rustls::crypto::ring::default_provider().install_default();
    for (urls, words, code) in [
        (&[][..], "no NATS server is configured", Code::BadRequest),
        (&["nats://me:secret@ho st:1"][..], "is not the address of a NATS server", Code::BadRequest),
        (&["http://127.0.0.1:1"][..], "is not the address of a NATS server", Code::BadRequest),
        (&["nats://127.0.0.1:1"][..], "can't connect", Code::Unavailable),
        (&["nats://no-such-host.invalid:4222"][..], "hint: check", Code::Unavailable),
    ] {
        let error = refused(at(urls)).await;
        assert!(error.to_string().contains(words), "{urls:?}: {error}");
        assert!(!error.to_string().contains("secret"), "{error}");
        assert_eq!(error.code(), code, "{urls:?}: {error}");
    }
    let server = nats::Server::start("");
    let mut named = over::options(&Store::memory(), &[&server], "f");
    named.name = "Not.A.Name".to_owned();
    assert!(refused(named).await.to_string().contains("Not.A.Name"));
    // One reachable server is enough.
    let mut two = over::options(&Store::memory(), &[&server], "f");
    two.nats.insert(0, "nats://127.0.0.1:1".to_owned());
    Fleet::open(two).await.unwrap();
    // A store that ignores conditions would silently lose data. It is refused before that.
    let forgetful: Arc<dyn ObjectStore> = Arc::new(Forgetful(InMemory::new()));
    let options = FleetOptions { store: forgetful, ..over::options(&Store::memory(), &[&server], "f") };
    let error = refused(options).await;
    assert!(error.to_string().contains("If-None-Match") && !error.is_retryable(), "{error}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn logins_are_checked() {
    let user = |user: &str, password: &str| Login::User { user: user.to_owned(), password: password.to_owned() };
    let pair = nkeys::KeyPair::new_user();
    let server = nats::Server::start(&format!(
        "authorization {{ users: [ {{ user: me, password: right }}, {{ nkey: {} }} ] }}",
        pair.public_key()
    ));
    Fleet::open(with_login(&server, user("me", "right"))).await.unwrap();
    Fleet::open(with_login(&server, Login::Nkey(pair.seed().unwrap()))).await.unwrap();
    let mut in_the_url = over::options(&Store::memory(), &[], "f");
    in_the_url.nats = vec![format!("nats://me:right@127.0.0.1:{}", server.port())];
    Fleet::open(in_the_url).await.unwrap();
    let other = nkeys::KeyPair::new_user().seed().unwrap();
    for login in [Login::None, user("me", "wrong"), Login::Token("wrong".to_owned()), Login::Nkey(other)] {
        let error = refused(with_login(&server, login.clone())).await;
        assert!(error.to_string().contains("the login was refused"), "{login:?}: {error}");
        assert_eq!(error.code(), Code::Denied, "{login:?}: {error}");
    }
    let error = refused(with_login(&server, Login::Nkey("SUNOSEED".to_owned()))).await;
    assert!(error.code() == Code::BadRequest && error.to_string().contains("nkey"), "{error}");
    let missing = server.folder().join("missing.creds");
    let error = refused(with_login(&server, Login::Credentials(missing))).await;
    assert!(error.code() == Code::BadRequest && error.to_string().contains("missing.creds"), "{error}");
    assert_eq!(format!("{:?}", user("me", "right")), "User(me)");

    let server = nats::Server::start("authorization { token: right }");
    Fleet::open(with_login(&server, Login::Token("right".to_owned()))).await.unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tls_with_certificates_on_both_sides() {
    use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, ExtendedKeyUsagePurpose, IsCa, KeyPair};
    let dir = tempfile::tempdir().unwrap();
    let path = |name: &str| dir.path().join(name);
    let mut authority = CertificateParams::new(Vec::<String>::new()).unwrap();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate().unwrap()).unwrap();
    std::fs::write(path("ca.pem"), authority.pem()).unwrap();
    for name in ["server", "client"] {
        let mut params = CertificateParams::new(vec!["localhost".to_owned(), "127.0.0.1".to_owned()]).unwrap();
        params.extended_key_usages = vec![ExtendedKeyUsagePurpose::ServerAuth, ExtendedKeyUsagePurpose::ClientAuth];
        let key = KeyPair::generate().unwrap();
        let certificate = params.signed_by(&key, &authority).unwrap();
        std::fs::write(path(&format!("{name}.pem")), certificate.pem()).unwrap();
        std::fs::write(path(&format!("{name}.key")), key.serialize_pem()).unwrap();
    }
    let server = nats::Server::start(&format!(
        "tls {{ cert_file: {:?}, key_file: {:?}, ca_file: {:?}, verify: true }}",
        path("server.pem"),
        path("server.key"),
        path("ca.pem")
    ));
    let with = |tls: Tls| FleetOptions { tls, ..over::options(&Store::memory(), &[&server], "f") };
    let client = Some((path("client.pem"), path("client.key")));
    let good = Tls { required: true, ca: Some(path("ca.pem")), client: client.clone() };
    let fleet = Fleet::open(with(good.clone())).await.unwrap();
    assert!(fleet.health.is_connected());
    let error = refused(with(Tls { client: None, ..good.clone() })).await;
    assert!(error.to_string().contains("NATS at"), "no certificate: {error}");
    let error = refused(with(Tls { ca: None, ..good.clone() })).await;
    assert!(error.to_string().contains("TLS failed"), "an unknown authority: {error}");
    let error = refused(with(Tls { ca: Some(path("none.pem")), ..good })).await;
    assert!(error.code() == Code::BadRequest && error.to_string().contains("none.pem"), "{error}");
    // Required TLS does not fall back to a server without TLS.
    let plain = nats::Server::start("");
    let required = Tls { required: true, ..Tls::default() };
    refused(FleetOptions { tls: required, ..over::options(&Store::memory(), &[&plain], "f") }).await;
}
