//! What tokens cost: a book of list prices, the terms agreed beside it, and exact arithmetic.

pub mod amount;
pub mod bill;
pub mod check;
pub mod diff;
pub mod focus;
pub mod book;
pub mod contract;
pub mod meter;
pub mod rates;
pub mod read;
pub mod reconcile;
pub mod sku;
pub mod span;
pub mod spend;

pub use book::PriceBook;

#[cfg(test)]
mod tests;
