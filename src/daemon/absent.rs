//! A build without the feature `daemons` asks none: there is no address of one.

/// Never made: a configuration that gives one was refused.
#[derive(Debug, Clone, PartialEq)]
pub(crate) enum Api {}
