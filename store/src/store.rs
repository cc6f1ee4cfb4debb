//! The store of one fabric and the handles of its tenants.

use crate::{
    Accounts, Error, Modules, Objects, Results,
    account::Account,
    local::Local,
    location::{self, Opened},
    sizes, staging,
};
use fabric_types::{id::TenantId, storage::StorageKind};
use futures::TryStreamExt as _;
use object_store::{ObjectStore, aws::AmazonS3, memory::InMemory, path::Path};
use std::{collections::HashMap, fmt, sync::Arc};

/// Whether a write to a local directory waits for the disk. Other stores decide for themselves.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Durability {
    /// A write that returned survives a power cut. The default.
    #[default]
    Disk,
    /// A write that returned survives the process, not a power cut.
    Process,
}

/// How a store is opened.
#[derive(Debug, Clone, Copy, Default)]
pub struct StoreOptions {
    /// Whether a write to a local directory waits for the disk. Default: it does.
    pub durability: Durability,
}

/// Where the bytes are.
#[derive(Debug, Clone)]
pub(crate) enum Backend {
    /// A local directory, read without leaving the calling thread where the page cache has the bytes.
    Local(Local),
    /// Memory, for tests and throw-away fabrics.
    Memory(Arc<InMemory>),
    /// A bucket.
    S3(Arc<AmazonS3>),
}

impl Backend {
    /// The backend as the general trait.
    pub(crate) fn store(&self) -> &dyn ObjectStore {
        match self {
            Self::Local(local) => local,
            Self::Memory(store) => store.as_ref(),
            Self::S3(store) => store.as_ref(),
        }
    }
}

/// The objects of all tenants. Cloning is cheap and shares the store.
#[derive(Clone)]
pub struct Store {
    opened: Arc<Opened>,
    accounts: Accounts,
}

impl Store {
    /// Opens a folder (made if need be; a path or `file://` URL), `memory:`, or `s3://BUCKET/PREFIX`.
    ///
    /// An S3 store takes its settings from `AWS_*` variables and from options after `?`, such as `region` and
    /// `endpoint`; plain HTTP and path-style requests are used only with an `endpoint`. The process must have installed
    /// a rustls provider before. Create-if-absent rests on the server: with an `endpoint`, `If-None-Match: *` must hold
    /// for puts and for copies (`copy_if_not_exists=multipart` takes it at the end of a copy in parts, as AWS does).
    ///
    /// # Errors
    /// [`Error::Location`] if the text names no store or it can't be opened.
    pub fn open(location: &str, options: StoreOptions) -> Result<Self, Error> {
        location::open(location, options.durability == Durability::Disk).map(Self::of)
    }

    /// A store that ends with the process.
    #[must_use]
    pub fn memory() -> Self {
        Self::of(location::memory())
    }

    fn of(opened: Opened) -> Self {
        Self { opened: Arc::new(opened), accounts: Accounts::default() }
    }

    /// The same store, whose writes are charged to these accounts. Without this nothing is refused.
    #[must_use]
    pub fn charged_to(self, accounts: Accounts) -> Self {
        Self { accounts, ..self }
    }

    /// What its writes are charged to.
    #[must_use]
    pub fn accounts(&self) -> &Accounts {
        &self.accounts
    }

    /// Removes what writers that died left of a tenant's uploads a day ago.
    ///
    /// # Errors
    /// [`Error::Backend`] if the store fails.
    pub async fn sweep_staging(&self, tenant: &TenantId, mode: crate::SweepMode) -> Result<u64, Error> {
        let folder = staging::folder(self.objects(tenant).root());
        let swept = staging::sweep(self.opened.backend.store(), &folder, std::time::SystemTime::now(), mode).await;
        swept.map_err(|e| Error::from_store("sweep", "", e))
    }

    /// Bytes of each tenant by kind, from a list of everything.
    ///
    /// # Errors
    /// [`Error::Backend`] if the store fails.
    pub async fn sizes(&self) -> Result<HashMap<TenantId, HashMap<StorageKind, u64>>, Error> {
        sizes::of(self.opened.backend.store(), &self.opened.prefix.clone().join("t")).await
    }

    /// What was opened, without secrets.
    #[must_use]
    pub fn location(&self) -> &str {
        &self.opened.shown
    }

    /// What the tenant's users put.
    #[must_use]
    pub fn objects(&self, tenant: &TenantId) -> Objects {
        self.space(tenant, "objects", StorageKind::Objects)
    }

    /// What the tenant's tasks committed.
    #[must_use]
    pub fn results(&self, tenant: &TenantId) -> Results {
        Results::new(self.space(tenant, "results", StorageKind::Results))
    }

    /// The modules that the tenant uploaded.
    #[must_use]
    pub fn modules(&self, tenant: &TenantId) -> Modules {
        Modules::new(self.space(tenant, "modules", StorageKind::Functions))
    }

    /// Asks the store for its first object, to learn whether it answers.
    ///
    /// # Errors
    /// [`Error::Backend`] if it does not.
    pub async fn check(&self) -> Result<(), Error> {
        let mut list = self.opened.backend.store().list(Some(&self.opened.prefix.clone().join("t")));
        list.try_next().await.map(drop).map_err(|e| Error::from_store("list", "", e))
    }

    /// The store beneath and where in it everything is put, for what keeps objects of its own beside the tenants' (which are
    /// below `t/`).
    #[must_use]
    pub fn object_store(&self) -> (Arc<dyn ObjectStore>, Path) {
        let store: Arc<dyn ObjectStore> = match &self.opened.backend {
            Backend::Local(local) => Arc::new(local.clone()),
            Backend::Memory(store) => Arc::clone(store) as _,
            Backend::S3(store) => Arc::clone(store) as _,
        };
        (store, self.opened.prefix.clone())
    }

    fn space(&self, tenant: &TenantId, folder: &'static str, kind: StorageKind) -> Objects {
        let root = self.opened.prefix.clone().join("t").join(tenant.as_str()).join(folder);
        let account = Account { accounts: self.accounts.clone(), tenant: tenant.clone(), kind };
        Objects::new(self.opened.backend.clone(), root, account)
    }
}

impl fmt::Debug for Store {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_tuple("Store").field(&self.opened.shown).finish()
    }
}
