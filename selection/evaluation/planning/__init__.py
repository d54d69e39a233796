"""Plans of A/B tests: the labels, days and gains to expect, from an application's traffic."""
