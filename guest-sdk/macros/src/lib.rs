//! The attributes `#[fabric::map]`, `#[fabric::reduce]` and `#[fabric::handler]`.
//!
//! Each leaves the function as it is, so that tests can call it, and adds the component's export next to it. The code
//! they expand to names the SDK as `::fabric`; the dependency must have that name. Use them through `fabric-sdk`.

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
/// The reader is any `fabric::FromInput`; `R` is any `fabric::IntoOutput` or a `Result` of one; the parameters are any
/// type with `Deserialize` and `JsonSchema`, and their schema is what the host checks a job's parameters against. The
/// doc comment goes with it as the description. With `#[fabric::map(nodescribe)]` the component does not describe
/// itself here: needed when a handler in the same crate has typed parameters too.
#[proc_macro_attribute]
pub fn map(options: TokenStream, function: TokenStream) -> TokenStream {
    entry(Entry::Map, options, function)
}

/// Makes a function the component's reducer: `fn(T, T) -> T`, `-> Result<T>`, or with the parameters as a third argument.
///
/// The merge must be associative; it need not be commutative, as order is kept. `T` is read from and written as JSON.
/// With `#[fabric::reduce(default)]` a job without partial results gives `T::default()` instead of an error.
#[proc_macro_attribute]
pub fn reduce(options: TokenStream, function: TokenStream) -> TokenStream {
    entry(Entry::Reduce, options, function)
}

/// Makes a function the component's handler: `fn(request) -> R` or `fn(request, params) -> R`.
///
/// The request is any `fabric::FromRequest`; the rest is as for [`macro@map`].
#[proc_macro_attribute]
pub fn handler(options: TokenStream, function: TokenStream) -> TokenStream {
    entry(Entry::Handler, options, function)
}
