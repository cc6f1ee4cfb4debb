//! Options in an attribute's parentheses.

use syn::parse::{Parse, ParseStream};
use syn::punctuated::Punctuated;
use syn::{Ident, Token};

/// The options of an attribute.
#[derive(Default)]
pub(crate) struct Options {
    /// `default`, valid for a reducer only.
    pub(crate) default: Option<Ident>,
    /// `nodescribe`, valid for a mapper or handler only.
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
