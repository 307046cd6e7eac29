//! The body of every answer with status 400 and above.

use serde::{Deserialize, Serialize};
use utoipa::ToSchema;

/// `{"message": "…"}` (contract, section 1.5).
#[derive(Debug, Clone, Serialize, Deserialize, ToSchema)]
#[schema(examples(json!({"message": "path must begin with `/`"})))]
pub struct ErrorBody {
    /// What went wrong and, where it helps, what to do. Never holds a value, token or key.
    pub message: String,
}
