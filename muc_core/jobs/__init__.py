"""Long work outside the page: job table, launcher and worker process."""
