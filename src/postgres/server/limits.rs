//! The limits on connections, and the room that they leave.

use postgres::{Error, Row};

use crate::text::harmless;

/// The server's own limits, and what counts against them.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct ServerLimits {
    /// `max_connections`.
    pub max_connections: u32,
    /// `superuser_reserved_connections`: the last ones, for superusers only.
    pub superuser_reserved: u32,
    /// `reserved_connections`: those before the last, for superusers and members of `pg_use_reserved_connections`.
    /// `None` before PostgreSQL 16, which has no such setting.
    pub reserved: Option<u32>,
    /// Sessions of all clients. Sessions whose kind the server does not show this role count too, so this may be too
    /// high by a parallel or background worker, never too low by a session.
    pub in_use: u32,
    /// The database that the ad-hoc tier connects to.
    pub database: DatabaseLimit,
}

/// A database's limit on connections.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct DatabaseLimit {
    /// The database.
    pub name: String,
    /// Its `CONNECTION LIMIT`, which does not bind superusers; `None` for none.
    pub limit: Option<u32>,
    /// Sessions in it.
    pub in_use: u32,
}

/// The limit on connections of the role that a tier connects as.
#[derive(Clone, Debug, PartialEq, Eq)]
#[cfg_attr(feature = "serde", derive(serde::Serialize))]
#[non_exhaustive]
pub struct RoleLimit {
    /// The role.
    pub name: String,
    /// Its `CONNECTION LIMIT`, which does not bind superusers; `None` for none.
    pub limit: Option<u32>,
    /// Its sessions, of all applications and in all databases.
    pub in_use: u32,
    /// Whether it is a superuser, whom no limit but `max_connections` binds.
    pub is_superuser: bool,
    /// Whether it is a member of `pg_use_reserved_connections`.
    pub may_use_reserved: bool,
}

impl ServerLimits {
    pub(super) fn of(row: &Row) -> Result<Self, Error> {
        Ok(ServerLimits {
            max_connections: count(row, "max_connections")?,
            superuser_reserved: count(row, "superuser_reserved")?,
            reserved: row.try_get::<_, Option<i64>>("reserved")?.map(clamped),
            in_use: count(row, "in_use")?,
            database: DatabaseLimit {
                name: shown(row, "database")?,
                limit: limit(row, "database_limit")?,
                in_use: count(row, "database_in_use")?,
            },
        })
    }

    /// The connections that `role` can open beyond those there are.
    ///
    /// A superuser is bound by `max_connections` alone. Anybody else leaves the superusers' reserve free, and
    /// `reserved_connections` too unless a member of `pg_use_reserved_connections`; and is bound by the limits of role
    /// and database.
    pub(super) fn room(&self, role: &RoleLimit) -> u32 {
        if role.is_superuser {
            return self.slots();
        }
        let slots = self.slots().saturating_sub(self.kept_from(role));
        let by_role = role.limit.map(|limit| limit.saturating_sub(role.in_use));
        [by_role, self.room_in_database()].into_iter().flatten().fold(slots, u32::min)
    }

    /// The connections that clients of any other role can open to the database beyond those there are, where that role
    /// has no privilege and no limit of its own. With none left a stranger is refused, as `psql` would be.
    pub fn room_for_strangers(&self) -> u32 {
        let reserved = self.superuser_reserved.saturating_add(self.reserved.unwrap_or(0));
        let slots = self.slots().saturating_sub(reserved);
        self.room_in_database().map_or(slots, |room| room.min(slots))
    }

    /// The connections that the server has left, reserves included.
    fn slots(&self) -> u32 {
        self.max_connections.saturating_sub(self.in_use)
    }

    /// What the database's limit leaves; `None` where there is none.
    fn room_in_database(&self) -> Option<u32> {
        self.database.limit.map(|limit| limit.saturating_sub(self.database.in_use))
    }

    /// The connections that the server reserves for others than `role`: none of a superuser's, else
    /// `superuser_reserved_connections`, and `reserved_connections` for those who are no members of
    /// `pg_use_reserved_connections`.
    pub fn kept_from(&self, role: &RoleLimit) -> u32 {
        match (role.is_superuser, role.may_use_reserved) {
            (true, _) => 0,
            (false, true) => self.superuser_reserved,
            (false, false) => self.superuser_reserved.saturating_add(self.reserved.unwrap_or(0)),
        }
    }
}

impl RoleLimit {
    /// Reads the columns of a tier's role.
    pub(super) fn of(row: &Row, tier: &str) -> Result<Self, Error> {
        let column = |what: &str| format!("{tier}_{what}");
        Ok(RoleLimit {
            name: shown(row, &column("role"))?,
            limit: limit(row, &column("role_limit"))?,
            in_use: count(row, &column("role_in_use"))?,
            is_superuser: row.try_get(&*column("is_superuser"))?,
            may_use_reserved: row.try_get(&*column("may_use_reserved"))?,
        })
    }
}

// What is read here comes of the server's own functions, and what is compatible with PostgreSQL may have other types
// for them: that is an error, and no reason for a panic.

/// Reads a text that others have chosen, made harmless; none is empty.
pub(super) fn shown(row: &Row, column: &str) -> Result<String, Error> {
    Ok(shown_if_any(row, column)?.unwrap_or_default())
}

/// The same, where there may be none.
pub(super) fn shown_if_any(row: &Row, column: &str) -> Result<Option<String>, Error> {
    Ok(row.try_get::<_, Option<&str>>(column)?.map(harmless))
}

/// Reads a number of sessions.
pub(super) fn count(row: &Row, column: &str) -> Result<u32, Error> {
    row.try_get(column).map(clamped)
}

/// Below zero stands for no limit.
fn limit(row: &Row, column: &str) -> Result<Option<u32>, Error> {
    Ok(u32::try_from(row.try_get::<_, i64>(column)?).ok())
}

fn clamped(number: i64) -> u32 {
    u32::try_from(number.max(0)).unwrap_or(u32::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    /// 40 of 100 are left, 3 of them for superusers and 5 for members.
    fn server() -> ServerLimits {
        let database = DatabaseLimit { name: "news".into(), limit: None, in_use: 50 };
        ServerLimits { max_connections: 100, superuser_reserved: 3, reserved: Some(5), in_use: 60, database }
    }

    fn role() -> RoleLimit {
        RoleLimit {
            name: "app".into(),
            limit: None,
            in_use: 45,
            is_superuser: false,
            may_use_reserved: false,
        }
    }

    #[test]
    fn the_reserves_are_left_to_those_who_may_use_them() {
        let (server, role) = (server(), role());
        assert_eq!((server.room(&role), server.room_for_strangers()), (32, 32));
        assert_eq!(server.room(&RoleLimit { may_use_reserved: true, ..role.clone() }), 37);
        assert_eq!(server.room(&RoleLimit { is_superuser: true, limit: Some(1), ..role.clone() }), 40);
        let before_16 = ServerLimits { reserved: None, ..server.clone() };
        assert_eq!(before_16.room(&role), 37);
        let full = ServerLimits { in_use: 98, ..server };
        assert_eq!((full.room(&role), full.room_for_strangers()), (0, 0));
    }

    #[test]
    fn the_tightest_limit_counts() {
        let mut server = server();
        assert_eq!(server.room(&RoleLimit { limit: Some(50), ..role() }), 5);
        assert_eq!(server.room(&RoleLimit { limit: Some(0), ..role() }), 0);
        server.database.limit = Some(52);
        assert_eq!(server.room(&RoleLimit { limit: Some(50), ..role() }), 2);
        assert_eq!(server.room_for_strangers(), 2, "another role's limit is not the stranger's");
    }
}
