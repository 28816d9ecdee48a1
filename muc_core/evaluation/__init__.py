"""White box: what can be asked of an encoder by those who hold its weights."""
