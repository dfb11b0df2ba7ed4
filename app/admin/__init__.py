"""The operators' HTTP surface: tenants and their keys. operator: a person of ours."""
