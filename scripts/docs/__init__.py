"""Parts of the documentation's build beside `mkdocs.yml`."""
