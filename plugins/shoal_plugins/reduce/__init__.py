"""Built-in reducers: vectors in, shorter vectors out."""
