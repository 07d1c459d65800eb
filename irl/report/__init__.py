"""One page that says what a model learned and what that is worth: `trodden.irl.report.writing.write_report`."""
