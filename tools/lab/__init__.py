"""A caller, the appliance and a vendor in three network namespaces, for the quick start and the tests."""
