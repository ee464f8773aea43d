"""Policies that other frameworks trained, as policy files of this one."""
