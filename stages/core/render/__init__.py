"""What a person looks at: tables, pages, drawings."""
