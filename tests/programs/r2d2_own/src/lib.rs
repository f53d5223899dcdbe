//! r2d2's own tests, run against tierpool. They stand in r2d2's source, which every build of tierpool has at hand; the
//! environment says where, since only cargo knows.

#[cfg(test)]
use r2d2::*;

#[cfg(test)]
#[allow(deprecated)] // Theirs to mend.
mod test {
    include!(env!("R2D2_TESTS", "run .ci/programs, which names the file"));
}
