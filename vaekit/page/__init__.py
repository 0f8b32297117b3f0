"""The page of `vaekit report`: gathers what it shows, and writes it as one HTML file."""
