"""A small payment service: price quotes, card payments and an assistant that answers questions about both."""

VERSION = "1.4.0"
