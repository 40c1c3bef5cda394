"""OpenImages: from its published lists to a folder of photographs that can serve as backgrounds.

Images are filtered here by the lists alone; the index checks their pixels, as for any other folder.
Formats: https://storage.googleapis.com/openimages/web/download_v7.html
"""
