"""Label Studio: client, review projects, backend, polling; `test_facts` says which test holds which fact of its protocol."""
