//! Expansion of an annotated function into the component's export.

use proc_macro2::TokenStream;
use quote::{quote, quote_spanned};
use syn::spanned::Spanned;
use syn::{Attribute, Expr, ExprLit, FnArg, Ident, ItemFn, Lit, Meta, ReturnType, Type};

use crate::options::Options;

/// The export generated for a function.
#[derive(Clone, Copy, PartialEq, Eq)]
pub(crate) enum Entry {
    Map,
    Reduce,
    Handler,
}

pub(crate) fn expand(entry: Entry, options: &Options, function: &ItemFn) -> syn::Result<TokenStream> {
    check(entry, options, function)?;
    let arguments = argument_types(function)?;
    let own = if entry == Entry::Reduce { 2 } else { 1 };
    if arguments.len() < own || arguments.len() > own + 1 {
        let wanted = match entry {
            Entry::Map => "a map function takes a reader and, if it has parameters, their type",
            Entry::Reduce => "a reduce function takes two partial results and, if it has parameters, their type",
            Entry::Handler => "a handler takes the request and, if it has parameters, their type",
        };
        return Err(syn::Error::new(function.sig.inputs.span(), wanted));
    }
    let params = arguments.get(own).copied();
    let adapter = adapter(entry, options, function, &arguments, params);
    let export = match entry {
        Entry::Map => quote! {
            impl fabric::__private::bindings::map_task::exports::fabric::task::mapper::Guest for Export {
                fn map() -> ::core::result::Result<(), fabric::__private::bindings::imports::fabric::task::types::Error> {
                    run().map_err(fabric::__private::wit::error)
                }
            }
            fabric::__private::bindings::map_task::export_mapper!(
                Export with_types_in fabric::__private::bindings::map_task
            );
        },
        Entry::Reduce => quote! {
            impl fabric::__private::bindings::reduce_task::exports::fabric::task::reducer::Guest for Export {
                fn reduce() -> ::core::result::Result<(), fabric::__private::bindings::imports::fabric::task::types::Error> {
                    run().map_err(fabric::__private::wit::error)
                }
            }
            fabric::__private::bindings::reduce_task::export_reducer!(
                Export with_types_in fabric::__private::bindings::reduce_task
            );
        },
        Entry::Handler => quote! {
            impl fabric::__private::bindings::handler_task::exports::fabric::task::handler::Guest for Export {
                fn handle(
                    request: fabric::__private::bindings::handler_task::exports::fabric::task::handler::Request,
                ) -> ::core::result::Result<
                    fabric::__private::bindings::handler_task::exports::fabric::task::handler::Response,
                    fabric::__private::bindings::imports::fabric::task::types::Error,
                > {
                    fabric::__private::wit::response(run(fabric::__private::wit::request(request)))
                }
            }
            fabric::__private::bindings::handler_task::export_handler!(
                Export with_types_in fabric::__private::bindings::handler_task
            );
        },
    };
    let describe = params
        .filter(|_| entry != Entry::Reduce && options.nodescribe.is_none())
        .map(|params| describe(params, &doc_text(&function.attrs)));
    // `run` is also compiled for native targets, so `cargo check` reports type errors.
    Ok(quote! {
        #function
        const _: () = {
            use ::fabric;
            #adapter
            #[cfg(target_family = "wasm")]
            struct Export;
            #[cfg(target_family = "wasm")]
            const _: () = { #export };
        };
        #describe
    })
}

/// Generates the function `run`: the export's work, independent of the types of the WIT.
fn adapter(
    entry: Entry,
    options: &Options,
    function: &ItemFn,
    arguments: &[&Type],
    params: Option<&Type>,
) -> TokenStream {
    let name = &function.sig.ident;
    let span = name.span();
    let parameters = params.map(|params| quote! { let params: #params = fabric::__private::params()?; });
    let pass = params.map(|_| quote! { , params });
    let call = |arguments: TokenStream| {
        if gives_result(&function.sig.output) {
            quote_spanned! { span => #name(#arguments).map_err(::core::convert::Into::into) }
        } else {
            quote_spanned! { span => ::core::result::Result::Ok(#name(#arguments)) }
        }
    };
    match entry {
        Entry::Map => {
            let input = arguments.first();
            let call = call(quote! { input #pass });
            quote! {
                #[allow(dead_code, clippy::unit_arg, clippy::useless_conversion)]
                fn run() -> fabric::Result<()> {
                    #parameters
                    fabric::__private::map(move |input: #input| #call)
                }
            }
        }
        Entry::Handler => {
            let input = arguments.first();
            let call = call(quote! { input #pass });
            quote! {
                #[allow(dead_code, clippy::unit_arg, clippy::useless_conversion)]
                fn run(request: fabric::Request) -> fabric::Result<fabric::Response> {
                    #parameters
                    fabric::__private::handle(request, move |input: #input| #call)
                }
            }
        }
        Entry::Reduce => {
            let partial = arguments.first();
            let pass = params.map(|_| quote! { , ::core::clone::Clone::clone(&params) });
            let call = call(quote! { a, b #pass });
            let empty = match &options.default {
                Some(word) => {
                    quote_spanned! { word.span() => ::core::option::Option::Some(<#partial as ::core::default::Default>::default) }
                }
                None => quote! { ::core::option::Option::None },
            };
            quote! {
                #[allow(dead_code, clippy::useless_conversion)]
                fn run() -> fabric::Result<()> {
                    #parameters
                    fabric::__private::reduce(#empty, move |a: #partial, b: #partial| #call)
                }
            }
        }
    }
}

fn describe(params: &Type, description: &str) -> TokenStream {
    quote! {
        // One description per component: a second one in this module fails here instead of in the linker.
        #[doc(hidden)]
        #[allow(dead_code)]
        const FABRIC_DESCRIBES_ITSELF_HERE_SO_USE_NODESCRIBE_ON_THE_OTHER: () = {
            use ::fabric;
            fn text() -> ::std::string::String {
                fabric::__private::describe::<#params>(#description)
            }
            #[cfg(target_family = "wasm")]
            struct Export;
            #[cfg(target_family = "wasm")]
            const _: () = {
                impl fabric::__private::bindings::described::exports::fabric::task::describe::Guest for Export {
                    fn describe() -> ::std::string::String {
                        text()
                    }
                }
                fabric::__private::bindings::described::export_describe!(
                    Export with_types_in fabric::__private::bindings::described
                );
            };
        };
    }
}

/// Rejects functions that cannot be an entry. The error points at the offending token.
fn check(entry: Entry, options: &Options, function: &ItemFn) -> syn::Result<()> {
    if let Some(asyncness) = &function.sig.asyncness {
        return Err(syn::Error::new(
            asyncness.span(),
            "the function must not be async: the host runs tasks side by side",
        ));
    }
    if !function.sig.generics.params.is_empty() {
        return Err(syn::Error::new(function.sig.generics.span(), "the function must not be generic"));
    }
    match (entry, &options.default, &options.nodescribe) {
        (Entry::Map | Entry::Handler, Some(word), _) => Err(syn::Error::new(word.span(), "`default` is for reduce")),
        (Entry::Reduce, _, Some(word)) => Err(syn::Error::new(word.span(), "a reducer never describes the component")),
        _ => Ok(()),
    }
}

fn argument_types(function: &ItemFn) -> syn::Result<Vec<&Type>> {
    function
        .sig
        .inputs
        .iter()
        .map(|argument| match argument {
            FnArg::Typed(argument) => Ok(&*argument.ty),
            FnArg::Receiver(own) => Err(syn::Error::new(own.span(), "the function must not be a method")),
        })
        .collect()
}

/// Returns `true` if the return type is a path that ends in `Result`.
fn gives_result(output: &ReturnType) -> bool {
    let ReturnType::Type(_, ty) = output else { return false };
    let Type::Path(path) = &**ty else { return false };
    path.path.segments.last().is_some_and(|segment| is(&segment.ident, "Result"))
}

fn is(ident: &Ident, name: &str) -> bool {
    ident == name
}

/// Returns the doc comment as one text.
fn doc_text(attributes: &[Attribute]) -> String {
    let lines: Vec<String> = attributes
        .iter()
        .filter(|attribute| attribute.path().is_ident("doc"))
        .filter_map(|attribute| match &attribute.meta {
            Meta::NameValue(doc) => match &doc.value {
                Expr::Lit(ExprLit { lit: Lit::Str(text), .. }) => Some(text.value().trim().to_owned()),
                _ => None,
            },
            _ => None,
        })
        .collect();
    lines.join("\n").trim().to_owned()
}
