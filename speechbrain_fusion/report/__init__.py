"""What a person looks at and listens to after a run."""
