"""What a retailer configures: stores, fences, sensors, campaigns, products and stock."""
