//! A manager without a database.

use std::convert::Infallible;

use r2d2::ManageConnection;

/// Opens connections that are nothing but a number: for examples and for tests of code that takes a pool.
///
/// Its connections never fail, and opening one takes no time.
///
/// ```
/// use tierpool::{MemoryManager, Pool};
///
/// let pool = Pool::builder().max_size(2).build(MemoryManager)?;
/// let mut conn = pool.get()?;
/// *conn += 1;
/// # Ok::<(), tierpool::Error>(())
/// ```
#[derive(Clone, Copy, Debug, Default)]
pub struct MemoryManager;

impl ManageConnection for MemoryManager {
    type Connection = u64;
    type Error = Infallible;

    fn connect(&self) -> Result<u64, Infallible> {
        Ok(0)
    }

    fn is_valid(&self, _: &mut u64) -> Result<(), Infallible> {
        Ok(())
    }

    fn has_broken(&self, _: &mut u64) -> bool {
        false
    }
}
