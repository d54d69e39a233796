"""What kept feedback tells: how selection goes, and how else it might have gone."""
