"""Offers: which campaign speaks to whom, when, and why not. Pure rules; scarce things go through the ledger."""
