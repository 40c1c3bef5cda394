"""What a build is for, as far as licences decide it."""

from pydantic import Field

from decoupage.settings import Section


class LicencesConfig(Section):
    """What a build is for."""

    commercial: bool = Field(False, description="nothing may enter whose licence does not permit commercial use")
