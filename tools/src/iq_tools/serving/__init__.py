"""What a model repository is made of: Python models and configuration templates.

`iq_tools.repository` copies and fills them; nothing here is imported by the tools themselves.
"""
