//! Lists of Azure's REST APIs: page after page, patiently, and never without an end.

use std::time::Duration;

use reqwest::Url;
use tokio::time::{Instant, sleep};

use super::{Client, Pace, Pauses, RestError};
use crate::decode::field::{Fields, elements};

/// How much is read of one list, and how patiently.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Bounds {
    /// Pages of a list that are read.
    pub pages: usize,
    /// Elements of a list that are read.
    pub items: usize,
    /// Attempts at one page.
    pub attempts: u32,
    /// A page is not asked for again later than this after the first time, nor where the service
    /// asks for more patience.
    pub patience: Duration,
}

impl Default for Bounds {
    fn default() -> Self {
        // Azure's pages have 20 to 1,000 elements, and a subscription at most 200 AI accounts per
        // region by default; somebody waits at a terminal.
        Self { pages: 200, items: 5_000, attempts: 6, patience: Duration::from_mins(2) }
    }
}

/// The elements of a list.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Listing {
    /// Each element as JSON.
    pub items: Vec<String>,
    /// Why there may be more; `None` when these are all.
    pub cut: Option<String>,
}

impl Client {
    /// Reads the list that begins at `first`, and goes on where its pages point to.
    ///
    /// What was read before an error, a bound or a link elsewhere is kept and called cut.
    ///
    /// # Errors
    /// The first page cannot be read.
    pub async fn list(
        &self,
        first: Url,
        needs: &str,
        bounds: Bounds,
        pace: &Pace,
    ) -> Result<Listing, RestError> {
        let mut listing = Listing::default();
        let mut next = first;
        for page in 0..bounds.pages {
            let read = self.page(&next, needs, bounds, pace).await;
            let read = match read {
                Err(error) if page == 0 => return Err(error),
                Err(error) => {
                    listing.cut = Some(format!("page {} could not be read: {error}", page + 1));
                    return Ok(listing);
                }
                Ok(read) => read,
            };
            let room = bounds.items.saturating_sub(listing.items.len());
            listing.items.extend(read.items.into_iter().take(room));
            if read.count > room {
                listing.cut = Some(format!("only the first {} were read", bounds.items));
                return Ok(listing);
            }
            let Some(link) = read.next else { return Ok(listing) };
            match self.follow(&link) {
                Ok(url) if url == next => {
                    listing.cut = Some("a page points to itself".to_owned());
                    return Ok(listing);
                }
                Ok(url) => next = url,
                Err(error) => {
                    listing.cut = Some(error.to_string());
                    return Ok(listing);
                }
            }
        }
        listing.cut = Some(format!("only the first {} pages were read", bounds.pages));
        Ok(listing)
    }

    /// Reads one answer, and asks again while it makes sense.
    ///
    /// # Errors
    /// Why there is no answer after all attempts.
    pub async fn patiently(
        &self,
        url: &Url,
        needs: &str,
        bounds: Bounds,
        pace: &Pace,
    ) -> Result<String, RestError> {
        let mut pauses = Pauses::new(pace);
        let began = Instant::now();
        for _ in 1..bounds.attempts {
            let error = match self.get(url, needs).await {
                Ok(body) => return Ok(String::from_utf8_lossy(&body).into_owned()),
                Err(error) => error,
            };
            let (RestError::Busy { .. } | RestError::Passing(_)) = error else { return Err(error) };
            let pause = pauses.after(&error);
            if began.elapsed() + pause > bounds.patience {
                return Err(error);
            }
            sleep(pause).await;
        }
        let body = self.get(url, needs).await?;
        Ok(String::from_utf8_lossy(&body).into_owned())
    }

    async fn page(
        &self,
        url: &Url,
        needs: &str,
        bounds: Bounds,
        pace: &Pace,
    ) -> Result<Page, RestError> {
        let text = self.patiently(url, needs, bounds, pace).await?;
        let read = Page::read(&text, bounds.items);
        read.ok_or_else(|| RestError::Passing("the answer is not as documented".to_owned()))
    }
}

/// One page of a list.
#[derive(Debug, PartialEq, Eq)]
struct Page {
    items: Vec<String>,
    /// How many it has, also of those beyond the bound.
    count: usize,
    next: Option<String>,
}

impl Page {
    fn read(text: &str, most: usize) -> Option<Self> {
        let fields = Fields::read(text)?;
        let mut items = Vec::new();
        let count =
            elements(&fields.nested("value")?, most, &mut |item| items.push(item.to_owned()))?;
        let next = fields.first_text(&["nextLink"]).map(|link| link.trim().to_owned());
        Some(Self { items, count, next })
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_page_is_read_and_what_is_none_is_not_an_empty_one() {
        let page = Page::read(r#"{"value":[{"a":1}, 2,3],"nextLink":" https://h/x "}"#, 2);
        let items = vec![r#"{"a":1}"#.to_owned(), "2".to_owned()];
        let next = Some("https://h/x".to_owned());
        assert_eq!(page, Some(Page { items, count: 3, next }));
        for last in
            [r#"{"value":[]}"#, r#"{"value":[],"nextLink":null}"#, r#"{"nextLink":"","value":[]}"#]
        {
            assert_eq!(Page::read(last, 2), Some(Page { items: vec![], count: 0, next: None }));
        }
        for text in ["", "[]", "{}", r#"{"value":{}}"#, r#"{"value":[1"#] {
            assert_eq!(Page::read(text, 2), None, "{text}");
        }
    }
}
