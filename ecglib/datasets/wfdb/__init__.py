"""A WFDB reader: headers, samples, records."""
