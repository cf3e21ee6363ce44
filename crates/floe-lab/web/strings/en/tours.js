// The strings of the tours: `tour.ID.title`, `tour.ID.about`, the texts of their steps, and `tour.group.GROUP`.

export default {};
