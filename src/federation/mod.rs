//! Several servers as one: what their tools are called together, whose each is, and what each server has. A view only maps
//! names: what may be used, and how much, is decided for a server and its tool.

mod catalogue;
mod cursor;
mod diff;
mod ear;
mod inquiry;
mod kind;
mod listing;
mod names;
mod source;
mod view;

pub use catalogue::{Asked, Catalogue, CatalogueSettings, Contents, Eras, News, Offer};
pub use cursor::{Cursors, TasksFrom};
pub use diff::diff;
pub use kind::Kind;
pub use listing::{Has, Listing, Page};
pub use names::Origin;
pub use source::{VIEWS_KEYS, ViewsFile, ViewsSource, compile, fits};
pub use view::{Place, View, Views};
