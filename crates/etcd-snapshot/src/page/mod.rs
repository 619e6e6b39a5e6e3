//! Pages of a bbolt file: their layout, and how they are read.

mod layout;
mod reader;
#[cfg(test)]
pub(crate) mod testing;

pub(crate) use layout::{LeafElement, META_PAGE, PAGE_HEADER_SIZE, Page, PageHeader, PageKind};
pub(crate) use reader::{PageError, PageReader};
