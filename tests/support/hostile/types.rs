//! A server that has types which the client does not know, and what it says of them.
//!
//! A client that prepares a statement asks for each type that it does not know, by statements of its own, and for
//! those that these are made of.

use std::collections::HashMap;

use super::frames;

/// What the server says.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub enum Types {
    /// That its answers to questions about types have columns of types that nobody knows.
    OfTheQuestion,
    /// That a domain is over itself.
    DomainOverItself,
    /// That an array is of itself.
    ArrayOfItself,
    /// That a row has itself in it, behind a type that the client knows.
    RowOfItself,
    /// That each domain is over another one that is new.
    DomainsWithoutEnd,
    /// That each row has a new enum in it and a new row.
    RowsWithoutEnd,
    /// That a row has so many fields, each of a type of its own.
    Fields(u32),
    /// That rows, arrays and domains are in one another, so many in all, as those of a real server can be.
    Nested(u32),
}

/// The first OID that is not the system's.
const FIRST: u32 = 16_384;
/// Types that each client knows: a name, a single byte, an OID and a number.
const NAME: u32 = 19;
const CHAR: u32 = 18;
const OID: u32 = 26;
const INT4: u32 = 23;

/// What a statement of the client is for.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
enum Asks {
    Type,
    Fields,
    Labels,
    /// The statement of the client's user.
    Other,
}

impl Asks {
    fn of(text: &str) -> Asks {
        match text {
            text if text.starts_with("SELECT t.typname") => Asks::Type,
            text if text.starts_with("SELECT attname") => Asks::Fields,
            text if text.starts_with("SELECT enumlabel") => Asks::Labels,
            _ => Asks::Other,
        }
    }
}

enum Kind {
    Simple,
    Enum,
    Domain(u32),
    Array(u32),
    Row,
}

/// Answers the requests of one client.
pub(super) struct Catalog {
    types: Types,
    statements: HashMap<String, Asks>,
    /// The statement that was named last, and its parameter.
    asks: Asks,
    oid: u32,
}

impl Catalog {
    pub fn new(types: Types) -> Self {
        Catalog { types, statements: HashMap::new(), asks: Asks::Other, oid: 0 }
    }

    pub fn answer(&mut self, tag: u8, body: &[u8]) -> Vec<u8> {
        match tag {
            b'P' => {
                let mut texts = body.split(|byte| *byte == 0).map(String::from_utf8_lossy);
                let (name, text) = (texts.next().unwrap_or_default(), texts.next().unwrap_or_default());
                self.asks = Asks::of(&text);
                self.statements.insert(name.into_owned(), self.asks);
                frames::frame(b'1', b"")
            }
            b'D' => self.description(),
            b'B' => {
                let name = body.split(|byte| *byte == 0).nth(1).map(String::from_utf8_lossy);
                self.asks = name.and_then(|name| self.statements.get(&*name).copied()).unwrap_or(Asks::Other);
                // A parameter is followed by the format of the only result: one number, and one more.
                let parameter = body.len().checked_sub(8).map(|at| &body[at..at + 4]);
                self.oid = parameter.map_or(0, |bytes| u32::from_be_bytes(bytes.try_into().unwrap()));
                frames::frame(b'2', b"")
            }
            b'E' => [self.rows().concat(), frames::complete("SELECT 0")].concat(),
            b'S' => frames::ready(b'I'),
            b'Q' => frames::answer(b'I'),
            _ => Vec::new(),
        }
    }

    fn description(&self) -> Vec<u8> {
        let unknown = self.types == Types::OfTheQuestion;
        let (parameters, columns): (&[u32], &[u32]) = match self.asks {
            Asks::Type if unknown => (&[OID], &[FIRST]),
            Asks::Type => (&[OID], &[NAME, CHAR, OID, OID, OID, NAME, OID]),
            Asks::Fields => (&[OID], &[NAME, OID]),
            Asks::Labels => (&[OID], &[NAME]),
            Asks::Other => (&[], &[FIRST]),
        };
        let mut body = u16::try_from(parameters.len()).unwrap().to_be_bytes().to_vec();
        body.extend(parameters.iter().flat_map(|oid| oid.to_be_bytes()));
        [frames::frame(b't', &body), frames::typed_columns(columns)].concat()
    }

    fn kind(&self) -> Kind {
        let oid = self.oid;
        let place = oid - FIRST;
        match self.types {
            Types::OfTheQuestion => Kind::Simple,
            Types::DomainOverItself => Kind::Domain(oid),
            Types::ArrayOfItself => Kind::Array(oid),
            Types::RowOfItself => Kind::Row,
            Types::DomainsWithoutEnd => Kind::Domain(oid + 1),
            Types::RowsWithoutEnd if place % 2 == 1 => Kind::Enum,
            Types::RowsWithoutEnd => Kind::Row,
            Types::Fields(_) if place > 0 => Kind::Enum,
            Types::Fields(_) => Kind::Row,
            Types::Nested(depth) => match place % 3 {
                _ if place + 1 >= depth => Kind::Simple,
                0 => Kind::Row,
                1 => Kind::Array(oid + 1),
                _ => Kind::Domain(oid + 1),
            },
        }
    }

    fn rows(&self) -> Vec<Vec<u8>> {
        let oid = self.oid;
        match self.asks {
            Asks::Type => {
                let (kind, element, base, relation) = match self.kind() {
                    Kind::Simple => (b'b', 0, 0, 0),
                    Kind::Enum => (b'e', 0, 0, 0),
                    Kind::Domain(base) => (b'd', 0, base, 0),
                    Kind::Array(element) => (b'b', element, 0, 0),
                    // Its relation has the same number.
                    Kind::Row => (b'c', 0, 0, oid),
                };
                let oids = [element, base, relation].map(u32::to_be_bytes);
                let [element, base, relation] = oids.each_ref().map(|oid| Some(oid.as_slice()));
                let row = [Some(b"t".as_slice()), Some(&[kind]), element, None, base, Some(b"s"), relation];
                vec![frames::nullable_row(&row)]
            }
            Asks::Fields => {
                let fields = match self.types {
                    Types::RowsWithoutEnd => vec![oid + 1, oid + 2],
                    Types::RowOfItself => vec![INT4, oid],
                    Types::Fields(count) => (1..=count).map(|n| oid + n).collect(),
                    _ => vec![INT4, oid + 1, INT4],
                };
                fields.into_iter().map(|oid| frames::row(&[b"f", &oid.to_be_bytes()])).collect()
            }
            Asks::Labels => vec![frames::row(&[b"label"])],
            Asks::Other => Vec::new(),
        }
    }
}
