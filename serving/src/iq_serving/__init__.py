"""The ground floor: the code that Triton runs, and the contract that every room keeps to.

Stands on NumPy and Pillow only. `iq-tools repository` copies the package whole into the version
folder of each Python model. Triton puts that folder behind `site-packages` on `sys.path`, where an
installed `iq_serving` of another version would be found first: so the modules, and `model.py`,
import one another relatively.
"""
