"""OpenImages: from its published lists to a folder of photographs that may stand behind objects.

Lists are read and judged here; what a photograph's pixels are worth is judged by the index, as for any folder.
Formats: https://storage.googleapis.com/openimages/web/download_v7.html
"""
