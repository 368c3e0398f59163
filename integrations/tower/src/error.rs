//! Why a layer could not be built.

use std::error::Error;
use std::fmt;

use tidegate::QuotaError;

use crate::backend::MAX_POLICIES;

/// Says why a layer could not be built.
#[derive(Debug)]
#[non_exhaustive]
pub enum BuildError {
    /// There is no policy.
    NoPolicy,
    /// There are more than [`MAX_POLICIES`] policies.
    TooManyPolicies,
    /// The name of a policy is empty, or holds anything but printable ASCII characters, or another
    /// policy has it.
    Name(String),
    /// The quotas of a policy cannot be represented, or there is no memory for its buckets.
    Quota {
        /// The name of the policy.
        policy: String,
        /// What is wrong with the quotas.
        error: QuotaError,
    },
    /// The policy of this name has more than 65,535 classes.
    TooManyClasses(String),
    /// A quota of the policy of this name [shapes](tidegate::Quota::shape): the layer delays nothing.
    Shaped(String),
    /// The backend could not be built.
    Backend(Box<dyn Error + Send + Sync>),
}

impl fmt::Display for BuildError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match self {
            Self::NoPolicy => f.write_str("policy: there is none"),
            Self::TooManyPolicies => write!(f, "policy: there are more than {MAX_POLICIES}"),
            Self::Name(name) => write!(f, "name: {name:?} is taken, or no printable ASCII text"),
            Self::Quota { policy, .. } => write!(f, "quota: that of the policy {policy:?}"),
            Self::TooManyClasses(policy) => {
                write!(f, "class: the policy {policy:?} has too many")
            }
            Self::Shaped(policy) => {
                write!(f, "quota: that of the policy {policy:?} shapes, and a layer delays nothing")
            }
            Self::Backend(_) => f.write_str("backend: it could not be built"),
        }
    }
}

impl Error for BuildError {
    fn source(&self) -> Option<&(dyn Error + 'static)> {
        match self {
            Self::Quota { error, .. } => Some(error),
            Self::Backend(error) => Some(&**error),
            _ => None,
        }
    }
}
