//! The store of one fabric and the handles of its tenants.

use crate::{
    Accounts, Error, Modules, Objects, ResultSpace,
    account::Account,
    local::Local,
    location::{self, Opened},
    sizes, staging,
};
use fabric_types::{id::TenantId, storage::StorageKind};
use futures::TryStreamExt as _;
use object_store::{ObjectStore, aws::AmazonS3, memory::InMemory, path::Path};
use std::{collections::HashMap, fmt, sync::Arc};

/// Durability of writes to a local directory. Other stores have their own.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Durability {
    /// A completed write survives a power failure. The default.
    #[default]
    Disk,
    /// A completed write survives a crash of the process, but not a power failure.
    Process,
}

/// Options for opening a store.
#[derive(Debug, Clone, Copy, Default)]
pub struct StoreOptions {
    /// Durability of writes to a local directory. Default: [`Durability::Disk`].
    pub durability: Durability,
}

/// The storage backend.
#[derive(Debug, Clone)]
pub(crate) enum Backend {
    /// A local directory, read on the calling thread if the page cache has the bytes.
    Local(Local),
    /// Memory, for tests and temporary fabrics.
    Memory(Arc<InMemory>),
    /// An S3 bucket.
    S3(Arc<AmazonS3>),
}

impl Backend {
    /// Returns the backend as a trait object.
    pub(crate) fn store(&self) -> &dyn ObjectStore {
        match self {
            Self::Local(local) => local,
            Self::Memory(store) => store.as_ref(),
            Self::S3(store) => store.as_ref(),
        }
    }
}

/// The objects of all tenants. Cheap to clone; clones share the store.
#[derive(Clone)]
pub struct Store {
    opened: Arc<Opened>,
    accounts: Accounts,
}

impl Store {
    /// Opens a folder (a path or `file://` URL, created if it does not exist), `memory:`, or `s3://BUCKET/PREFIX`.
    ///
    /// An S3 store takes its settings from `AWS_*` variables and from options after `?`, such as `region` and
    /// `endpoint`. Plain HTTP and path-style requests are used only with an `endpoint`. The process must have installed
    /// a rustls provider before. Create-if-absent depends on the server: with an `endpoint`, it must honour
    /// `If-None-Match: *` for puts and copies (`copy_if_not_exists=multipart` sends it at the end of a multipart copy,
    /// as for AWS).
    ///
    /// # Errors
    /// [`Error::Location`] if the location is invalid or cannot be opened.
    pub fn open(location: &str, options: StoreOptions) -> Result<Self, Error> {
        location::open(location, options.durability == Durability::Disk).map(Self::of)
    }

    /// Opens a store in memory, which is lost when the process ends.
    #[must_use]
    pub fn memory() -> Self {
        Self::of(location::memory())
    }

    fn of(opened: Opened) -> Self {
        Self { opened: Arc::new(opened), accounts: Accounts::default() }
    }

    /// Charges the writes to these accounts. Without accounts, no write is refused.
    #[must_use]
    pub fn charged_to(self, accounts: Accounts) -> Self {
        Self { accounts, ..self }
    }

    /// Returns the accounts that writes are charged to.
    #[must_use]
    pub fn accounts(&self) -> &Accounts {
        &self.accounts
    }

    /// Removes or counts a tenant's staged uploads that were abandoned more than a day ago. Returns their number.
    ///
    /// # Errors
    /// [`Error::Backend`] if the store fails.
    pub async fn sweep_staging(&self, tenant: &TenantId, mode: crate::SweepMode) -> Result<u64, Error> {
        let folder = staging::folder(self.objects(tenant).root());
        let swept = staging::sweep(self.opened.backend.store(), &folder, std::time::SystemTime::now(), mode).await;
        swept.map_err(|e| Error::from_store("sweep", "", e))
    }

    /// Returns the bytes of each tenant by kind, from a listing of the whole store.
    ///
    /// # Errors
    /// [`Error::Backend`] if the store fails.
    pub async fn sizes(&self) -> Result<HashMap<TenantId, HashMap<StorageKind, u64>>, Error> {
        sizes::of(self.opened.backend.store(), &self.opened.prefix.clone().join("t")).await
    }

    /// Returns the location without secrets.
    #[must_use]
    pub fn location(&self) -> &str {
        &self.opened.shown
    }

    /// Returns the objects of the tenant's users.
    #[must_use]
    pub fn objects(&self, tenant: &TenantId) -> Objects {
        self.space(tenant, "objects", StorageKind::Objects)
    }

    /// Returns the results of the tenant's tasks.
    #[must_use]
    pub fn results(&self, tenant: &TenantId) -> ResultSpace {
        ResultSpace::new(self.space(tenant, "results", StorageKind::Results))
    }

    /// Returns the tenant's uploaded modules.
    #[must_use]
    pub fn modules(&self, tenant: &TenantId) -> Modules {
        Modules::new(self.space(tenant, "modules", StorageKind::Functions))
    }

    /// Lists the first object, to check that the store answers.
    ///
    /// # Errors
    /// [`Error::Backend`] if it does not.
    pub async fn check(&self) -> Result<(), Error> {
        let mut list = self.opened.backend.store().list(Some(&self.opened.prefix.clone().join("t")));
        list.try_next().await.map(drop).map_err(|e| Error::from_store("list", "", e))
    }

    /// Returns the underlying store and its prefix, for components with objects of their own next to the tenants'
    /// (which are below `t/`).
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
