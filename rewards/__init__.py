"""The built-in rewards, one family a file. Each stands in the registry under the name that its decorator gives."""
