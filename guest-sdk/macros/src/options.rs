//! The words in an attribute's parentheses.

use syn::parse::{Parse, ParseStream};
use syn::punctuated::Punctuated;
use syn::{Ident, Token};

/// What was asked for.
#[derive(Default)]
pub(crate) struct Options {
    /// The first word that only fits a reducer.
    pub(crate) default: Option<Ident>,
    /// The first word that only fits a mapper or handler.
    pub(crate) nodescribe: Option<Ident>,
}

impl Parse for Options {
    fn parse(input: ParseStream<'_>) -> syn::Result<Self> {
        let mut options = Self::default();
        for word in Punctuated::<Ident, Token![,]>::parse_terminated(input)? {
            if word == "default" {
                options.default = Some(word);
            } else if word == "nodescribe" {
                options.nodescribe = Some(word);
            } else {
                return Err(syn::Error::new(
                    word.span(),
                    "unknown option: use `nodescribe` (map, handler) or `default` (reduce)",
                ));
            }
        }
        Ok(options)
    }
}
