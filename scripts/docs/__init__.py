"""How the documentation becomes a site: what MkDocs is told beside `mkdocs.yml`."""
