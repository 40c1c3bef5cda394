"""Files that are copied into published folders as they are; nothing here is imported by the package."""
