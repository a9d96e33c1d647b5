//! What the protocols that are spoken here run over.

use tokio::io::{AsyncRead, AsyncWrite};

/// A TCP or TLS stream.
pub(crate) trait Socket: AsyncRead + AsyncWrite + Send + Sync + Unpin {}
impl<T: AsyncRead + AsyncWrite + Send + Sync + Unpin> Socket for T {}
