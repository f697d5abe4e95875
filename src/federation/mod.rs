//! Several servers as one: what their tools are called together, whose each is, and what each server has. A view only maps
//! names: what may be used, and how much, is decided for a server and its tool.

mod callers;
mod catalogue;
mod contents;
mod cursor;
mod diff;
mod ear;
mod inquiry;
mod kind;
mod known;
mod listing;
mod names;
mod source;
mod view;

pub use callers::{CallerKey, Callers, Own, Spoken, Turn};
pub use catalogue::{Asked, Catalogue, CatalogueSettings, News};
pub use contents::{Asks, Contents, Eras, Offer, Telling};
pub use cursor::{Cursors, TasksFrom};
pub use diff::diff;
pub use kind::Kind;
pub use known::Known;
pub use listing::{Has, Listing, Page};
pub use names::Origin;
pub use source::{VIEWS_KEYS, ViewsFile, ViewsSource, compile, fits};
pub use view::{Place, View, Views};
