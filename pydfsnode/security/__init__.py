"""Who a peer is and how bytes are sealed: identities, TLS contexts, the CA, the keyring."""
