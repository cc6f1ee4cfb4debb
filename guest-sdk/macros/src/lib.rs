//! The attributes `#[fabric::map]`, `#[fabric::reduce]` and `#[fabric::handler]`.
//!
//! Each attribute keeps the function unchanged, so that tests can call it, and adds the component's export after it.
//! The generated code refers to the SDK as `::fabric`, so the dependency must have that name. Use the attributes
//! through `fabric-sdk`.

mod expand;
mod options;

use proc_macro::TokenStream;
use syn::{ItemFn, parse_macro_input};

use expand::Entry;
use options::Options;

fn entry(kind: Entry, options: TokenStream, function: TokenStream) -> TokenStream {
    let options = parse_macro_input!(options as Options);
    let function = parse_macro_input!(function as ItemFn);
    expand::expand(kind, &options, &function).unwrap_or_else(syn::Error::into_compile_error).into()
}

/// Makes a function the component's mapper: `fn(reader) -> R` or `fn(reader, params) -> R`.
///
/// The reader implements `fabric::FromInput`. `R` implements `fabric::IntoOutput`, or is a `Result` of such a type. The
/// parameters are any type with `Deserialize` and `JsonSchema`; the host validates a job's parameters against their
/// schema. The doc comment becomes the description. With `#[fabric::map(nodescribe)]` the component does not describe
/// itself here. This is required if a handler in the same crate also has typed parameters.
#[proc_macro_attribute]
pub fn map(options: TokenStream, function: TokenStream) -> TokenStream {
    entry(Entry::Map, options, function)
}

/// Makes a function the component's reducer: `fn(T, T) -> T`, `-> Result<T>`, or with the parameters as third argument.
///
/// The merge must be associative. It need not be commutative: the order is preserved. `T` is read and written as JSON.
/// With `#[fabric::reduce(default)]`, a job without partial results returns `T::default()` instead of an error.
#[proc_macro_attribute]
pub fn reduce(options: TokenStream, function: TokenStream) -> TokenStream {
    entry(Entry::Reduce, options, function)
}

/// Makes a function the component's handler: `fn(request) -> R` or `fn(request, params) -> R`.
///
/// The request implements `fabric::FromRequest`. The rest is as for [`macro@map`].
#[proc_macro_attribute]
pub fn handler(options: TokenStream, function: TokenStream) -> TokenStream {
    entry(Entry::Handler, options, function)
}
