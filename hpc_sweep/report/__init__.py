"""From judgements to files that people read: tables, pictures, Markdown and the winner's configuration."""
