"""What an evaluation writes: tables, figures, the report page and their folder."""
