"""What is known of scikit-learn's estimators: which types load, what their inputs are."""
