"""The one place that reads foreign XML: by defusedxml, so that entities, which bombs are made of, are refused."""

from __future__ import annotations

from pathlib import Path
from xml.etree.ElementTree import Element, ParseError

import defusedxml
import defusedxml.ElementTree

from .errors import InputFileError


def read_xml(path: str | Path, *, remedy: str) -> Element:
    """The root element of an XML file.

    Parameters
    ----------
    remedy
        What to do about a file that declares entities, for the error: a sentence of that format.

    Raises
    ------
    InputFileError
        No well-formed XML, or one with entities; a bomb is refused before anything of it grows.
    OSError
        The file cannot be read.

    Notes
    -----
    The whole tree is held: some ten times the bytes of the file.
    """
    try:
        root: Element = defusedxml.ElementTree.parse(path, forbid_dtd=False).getroot()
    except defusedxml.DefusedXmlException as error:
        raise InputFileError(
            path=path, problem=f"it declares entities, as XML bombs do ({type(error).__name__})", remedy=remedy
        ) from None
    except (ParseError, UnicodeDecodeError, LookupError, ValueError) as error:
        raise InputFileError(path=path, problem=f"is no whole XML ({error})", remedy="Export it again") from None
    return root
